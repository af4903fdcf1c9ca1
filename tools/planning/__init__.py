"""What a budget buys: a plan in words, and bytes against error. Plans are made by `edge.telemetry`."""
