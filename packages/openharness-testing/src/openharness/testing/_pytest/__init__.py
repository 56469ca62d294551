"""The pytest plugin: recordings beside the tests.

`plugin` is what pytest loads, with every test run of everybody who has this package installed. So it, `_mode`,
`_names`, `_books` and `_guard` import nothing of OpenHarness: the rest is imported by the first test that asks for a
recording (`_fixture`, `_store`), the first that fails (`_failures`), and whoever looks for recordings that no test uses
(`_unused`).
"""
