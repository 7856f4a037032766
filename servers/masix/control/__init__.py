"""What knows both machemu and Masix: commands that machemu finds by entry points, as docs/commands.md says."""
