"""Records, interfaces and the reactive harness of OpenHarness."""
