//! Families of metrics, and how their series are written.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeCounterValue, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::metrics::Snapshot;

/// Where families are written to.
#[derive(Debug)]
pub(super) struct Families<'e>(DescriptorEncoder<'e>);

/// What a family is called, and what it is.
#[derive(Debug, Clone)]
pub(super) struct Family {
    /// Without the prefix and what its type and its unit add.
    pub(super) name: &'static str,
    /// A sentence without its full stop.
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
}

/// The labels of a series.
pub(super) type Labels<'l, const N: usize> = [(&'static str, &'l str); N];

impl Family {
    pub(super) const fn new(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            unit: None,
        }
    }

    pub(super) const fn seconds(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            unit: Some(Unit::Seconds),
        }
    }

    pub(super) const fn bytes(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            unit: Some(Unit::Bytes),
        }
    }
}

impl<'e> Families<'e> {
    pub(super) fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self(encoder)
    }

    /// A number that only grows, for each of some labels.
    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        family: &Family,
        series: impl IntoIterator<Item = (Labels<'l, N>, impl EncodeCounterValue)>,
    ) -> fmt::Result {
        let mut metric = self.begin(family, MetricType::Counter)?;
        for (labels, value) in series {
            let mut one = metric.encode_family(&labels)?;
            one.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    /// A number that goes up and down, for each of some labels.
    pub(super) fn gauges<'l, const N: usize>(
        &mut self,
        family: &Family,
        series: impl IntoIterator<Item = (Labels<'l, N>, f64)>,
    ) -> fmt::Result {
        let mut metric = self.begin(family, MetricType::Gauge)?;
        for (labels, value) in series {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// A number that only grows.
    pub(super) fn counter(&mut self, family: &Family, value: f64) -> fmt::Result {
        let mut metric = self.begin(family, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    /// A number that goes up and down.
    pub(super) fn gauge(&mut self, family: &Family, value: f64) -> fmt::Result {
        self.begin(family, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// What is known by its labels alone.
    pub(super) fn info(&mut self, family: &Family, labels: &impl EncodeLabelSet) -> fmt::Result {
        self.begin(family, MetricType::Info)?.encode_info(labels)
    }

    /// How values are spread, for each of some labels. So many of what they are counted in make one
    /// of the family's unit.
    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        family: &Family,
        per_unit: f64,
        series: impl IntoIterator<Item = (Labels<'l, N>, Snapshot)>,
    ) -> fmt::Result {
        let mut metric = self.begin(family, MetricType::Histogram)?;
        for (labels, snapshot) in series {
            let buckets: Vec<_> = snapshot
                .buckets()
                .map(|(bound, count)| {
                    let bound = bound.map_or(f64::INFINITY, |bound| bound as f64 / per_unit);
                    (bound, count)
                })
                .collect();
            let sum = snapshot.sum() as f64 / per_unit;
            let mut one = metric.encode_family(&labels)?;
            one.encode_histogram::<NoLabelSet>(sum, snapshot.count(), &buckets, None)?;
        }
        Ok(())
    }

    fn begin<'f>(
        &'f mut self,
        family: &'f Family,
        metric_type: MetricType,
    ) -> Result<MetricEncoder<'f>, fmt::Error> {
        self.0
            .encode_descriptor(family.name, family.help, family.unit.as_ref(), metric_type)
    }
}
