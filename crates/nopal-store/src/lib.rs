//! A store: a directory of immutable trees and an SQLite database of what is valid.
