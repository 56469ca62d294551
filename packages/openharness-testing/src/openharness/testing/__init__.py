"""Contract suites for stores and providers, and fakes for tests."""
