//! Simulated providers in their real wire formats.
