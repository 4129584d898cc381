"""What several test files share: rules and oracles that use no code of the package's engines."""
