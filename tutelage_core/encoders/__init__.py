"""Image encoders: from pixels to maps of features; torch and timm are imported here, never by the rest of the core."""
