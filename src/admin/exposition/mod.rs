//! The metrics, as OpenMetrics text. `docs/metrics.md` lists them, and a test keeps both the same.
//!
//! Each file here writes what one part of the house has counted. Names have the prefix `longwire_`,
//! base units, and labels of which the configuration or this program sets the values, so that nobody
//! outside can make a series.

mod admission;
mod connections;
mod family;
mod pools;
mod process;
mod requests;
mod tunnels;

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    registry::Registry,
};

use self::family::Families;
use super::Journal;
use crate::server::Control;

/// The type of the text.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that the proxy has counted.
#[derive(Debug)]
struct Everything(Control, Arc<Journal>);

/// The metrics as they are now.
pub(super) fn exposition(control: &Control, journal: &Arc<Journal>) -> String {
    let mut registry = Registry::with_prefix("longwire");
    registry.register_collector(Box::new(Everything(control.clone(), Arc::clone(journal))));
    let mut text = String::new();
    // A String takes everything.
    let _ = encode(&mut text, &registry);
    text
}

impl Collector for Everything {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let Self(control, journal) = self;
        let mut families = Families::new(encoder);
        tunnels::write(&mut families, control)?;
        requests::write(&mut families, control)?;
        pools::write(&mut families, control)?;
        admission::write(&mut families, control)?;
        connections::write(&mut families, control)?;
        process::write(&mut families, control, journal)
    }
}
