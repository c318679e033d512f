//! `submit`
