"""Where pressure, temperature and the rest come from."""
