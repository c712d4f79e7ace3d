/* The least program with an export, and without it: the difference is what the export takes. */
#include "edge_lstm_model.h"

#if USE
static edge_lstm_state state;
static edge_lstm_result result;
#endif
static volatile double values[EDGE_LSTM_CHANNELS];

int main(void)
{
#if USE
    double copy[EDGE_LSTM_CHANNELS];
    edge_lstm_init(&state);
    for (;;) {
        int i;
        for (i = 0; i < EDGE_LSTM_CHANNELS; i++) {
            copy[i] = values[i];
        }
        edge_lstm_step(&state, copy, &result);
        values[0] = (double)result.score;
    }
#else
    for (;;) {
        values[0] = values[1];
    }
#endif
}
