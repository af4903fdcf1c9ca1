"""The instrument: from a frame to messages. Never imports TensorFlow, and knows nothing of `tools`."""
