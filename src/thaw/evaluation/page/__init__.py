"""The report page of a result: one HTML file that needs no network."""
