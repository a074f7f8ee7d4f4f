//! Regular expressions in Go's syntax: own front end, regex-automata behind it.
