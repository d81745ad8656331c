//! Downloads: the only HTTP client, with resumption, hash checks and mirrors.
//!
//! A [`Fetcher`] turns a [`Request`] into bytes in a file or in memory. It understands `http`, `https`, `file` and
//! `mirror://NAME/PATH` (NAME is looked up in [`FetchConfig::mirrors`]; its base URLs are tried in order). What arrives
//! is hashed on the way and compared with what the request expects; nothing that differs is ever left under the
//! destination's name. A broken transfer is taken up again where it broke.
//!
//! The engine is blocking. Progress goes to a [`nopal_report::Reporter`]; nothing here reads the environment: proxies
//! and CA files are settings.

pub mod archive;
mod attempt;
mod client;
pub mod compression;
mod config;
mod error;
mod fetcher;
pub mod git;
pub mod mercurial;
mod once;
mod zip;

pub use config::{FetchConfig, Proxies};
pub use error::FetchError;
pub use fetcher::{Fetched, Fetcher, Request, file_url_path};
