//! The simulated providers, one module each.

mod fal;
mod kling;
mod kling_legacy;
mod openai;
mod runway;

use shared::domain::provider::Provider;

use super::wire::Wire;

#[cfg(test)]
pub(super) use self::{
    fal::tests::CLIENT as FAL, kling::tests::CLIENT as KLING, kling_legacy::tests::CLIENT as KLING_LEGACY,
    openai::tests::CLIENT as OPENAI, runway::tests::CLIENT as RUNWAY,
};

pub(super) fn wire(provider: Provider) -> &'static dyn Wire {
    match provider {
        Provider::Fal => &fal::Fal,
        Provider::Runway => &runway::Runway,
        Provider::Kling => &kling::Kling,
        Provider::KlingLegacy => &kling_legacy::KlingLegacy,
        Provider::Openai => &openai::Openai,
    }
}
