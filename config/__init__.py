"""Settings from the environment, and the files people edit, validated as a whole before anything starts."""
