"""From a trained model to a device that runs it: deploy, roll back, the service unit. No TensorFlow."""
