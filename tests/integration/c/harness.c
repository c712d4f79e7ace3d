/* Drives an export from raw doubles on standard input, and writes what it says, raw, on standard output. */
#include <stdio.h>
#include <string.h>

#include "edge_lstm_model.h"

static edge_lstm_state state;
static edge_lstm_result result;
#if EDGE_LSTM_NETWORK_STATE > 0
static int8_t network[EDGE_LSTM_NETWORK_STATE];
static int8_t frame[EDGE_LSTM_CHANNELS];
static int8_t said[EDGE_LSTM_NETWORK_OUTPUTS * EDGE_LSTM_CHANNELS];
#endif

static void put(const void *data, size_t size)
{
    (void)fwrite(data, 1, size, stdout);
}

static void put_reals(const edge_lstm_real *reals, int count)
{
    int i;
    for (i = 0; i < count; i++) {
        const double one = (double)reals[i];
        put(&one, sizeof one);
    }
}

int main(void)
{
    double values[EDGE_LSTM_CHANNELS];
    memset(&state, 0x5A, sizeof state);
    edge_lstm_init(&state);
#if EDGE_LSTM_NETWORK_STATE > 0
    memcpy(network, state.network, sizeof network);
#endif
    while (fread(values, sizeof values, 1, stdin) == 1) {
        uint8_t flags[2];
        if ((values[0] > 0.9e300) && (values[0] < 1.1e300)) { /* the test's word for a silence */
            edge_lstm_restart(&state);
#if EDGE_LSTM_NETWORK_STATE > 0
            memcpy(network, state.network, sizeof network);
#endif
            continue;
        }
        memset(&result, 0x5A, sizeof result);
        edge_lstm_step(&state, values, &result);
        flags[0] = (uint8_t)result.status;
        flags[1] = (uint8_t)result.transition;
        put(flags, sizeof flags);
        put_reals(&result.score, 1);
        put_reals(result.shares, EDGE_LSTM_CHANNELS);
        put_reals(result.expected, EDGE_LSTM_CHANNELS);
        put(result.masked, sizeof result.masked);
        put(result.missing, sizeof result.missing);
#if EDGE_LSTM_NETWORK_STATE > 0
        edge_lstm_quantize(state.last, frame);
        edge_lstm_network(network, frame, said);
        put(state.network, sizeof state.network);
        put(network, sizeof network);
        put(said, sizeof said);
#endif
    }
    return 0;
}
