"""ModelDeployments: which version serves, how it takes over and how it goes back."""
