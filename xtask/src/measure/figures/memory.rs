//! x
use super::Options;
use anyhow::Result;
use measure_report::figure::Figure;
pub(crate) fn memory(_: Options) -> Result<Vec<Figure>> {
    Ok(Vec::new())
}
