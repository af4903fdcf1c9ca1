"""The judge of the telemetry: dives with known truth, what others make of them, what is lost with a message.

Only measuring: nothing here takes part in coding. `tools.bench.telemetry` puts it all into one table.
"""
