//! The Debian universe against small repositories made here: signed, altered, expired; packages that attack.

mod expression;
mod online;
mod repositories;
mod repository;
mod resolver;
mod scripts;
mod trees;
mod versions;
