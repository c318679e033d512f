//! `dispatch`
