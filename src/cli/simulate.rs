//! `sim`.
use super::Failure;
use super::options::Options;
/// x
pub fn run(_: &Options) -> Result<(), Failure> {
    Ok(())
}
