//! Google's APIs: Gemini and Vertex.

mod errors;
mod gemini;
mod vertex;

pub(super) use gemini::Gemini;
pub(super) use vertex::Vertex;
