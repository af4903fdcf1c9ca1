"""Iridium: the modem's own words, the gateway's packets, and a modem to test against."""
