"""Reading of clouds: built-in solids, files, patches of depth maps."""
