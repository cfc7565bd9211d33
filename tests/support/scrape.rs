use std::collections::BTreeMap;

/// What the metrics said at some time.
#[derive(Debug)]
pub(crate) struct Scrape(Vec<Series>);

/// One of their numbers.
#[derive(Debug)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    /// Reads OpenMetrics text, in whose labels nothing is escaped.
    pub(crate) fn of(text: &str) -> Self {
        assert!(text.ends_with("# EOF\n"), "{text}");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.map(Series::read).collect())
    }

    /// The sum of all series of that name with those labels, or 0 if there are none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |series: &&Series| series.name == name && series.has(labels);
        self.0.iter().filter(has).map(|series| series.value).sum()
    }

    /// The values of the labels `names` of each series called `name`, and its number, in order.
    pub(crate) fn by<const N: usize>(&self, name: &str, names: [&str; N]) -> Vec<([&str; N], f64)> {
        let mut sums = BTreeMap::<_, f64>::new();
        for series in self.0.iter().filter(|series| series.name == name) {
            let labels = names.map(|name| &*series.labels[name]);
            *sums.entry(labels).or_default() += series.value;
        }
        sums.into_iter().collect()
    }
}

impl Series {
    fn read(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split(',');
        let labels = labels.filter_map(|label| label.split_once('='));
        Self {
            name: name.to_owned(),
            labels: labels
                .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
                .collect(),
            value: value.parse().unwrap(),
        }
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        let mut labels = labels.iter();
        labels.all(|(name, value)| self.labels.get(*name).is_some_and(|own| own == value))
    }
}
