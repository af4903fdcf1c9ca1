"""What a dive says of the sea: spectra, biomass, flux, slope, shapes, orientation, each with its doubt."""
