"""A local GGUF model as a provider."""
