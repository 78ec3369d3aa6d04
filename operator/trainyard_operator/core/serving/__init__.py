"""ModelDeployments: which version serves, how versions are rolled out, and how they are rolled back."""
