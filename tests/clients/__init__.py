"""Programs of others that call fwddiff. What they run is the code of docs/clients.md, section by section."""
