"""The site profile: TOML, checked, and read into domain rules and mapping rows; one file for each section."""
