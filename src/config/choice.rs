//! A key that chooses, and the keys that go only with some of its choices.

use toml::Spanned;

use super::{
    diagnostics::{Problem, quoted},
    reading::Reported,
    section::Section,
    values::one_of,
};

/// A key that chooses between kinds of a thing, each of which has keys of its own.
pub(super) struct Choice<T: 'static> {
    /// The key that chooses.
    pub(super) key: &'static str,
    /// What it may be.
    pub(super) names: &'static [(&'static str, T)],
    /// Each key beside it that does not go with all of them, and what it goes with.
    pub(super) others: &'static [(&'static str, &'static [T])],
}

impl<T: Copy + PartialEq> Choice<T> {
    /// What `read` makes of the keys that go with what was chosen. The others are refused.
    pub(super) fn read<V>(
        &self,
        section: &Section<'_>,
        expected: &'static str,
        read: impl FnOnce(&Section<'_>, T) -> Result<V, Reported>,
    ) -> Result<V, Reported> {
        let chosen = section.required(self.key, expected, |field| {
            field.placed(|field| one_of(field, self.names))
        });
        match chosen {
            Ok(chosen) => {
                let refused = self.refuse_others(section, &chosen);
                let value = read(section, chosen.into_inner());
                refused.and(value)
            }
            Err(reported) => {
                for (key, _) in self.others {
                    section.skip(key);
                }
                Err(reported)
            }
        }
    }

    /// What `choice` is called.
    pub(super) fn name(&self, choice: T) -> &'static str {
        self.names
            .iter()
            .find(|(_, candidate)| *candidate == choice)
            .map_or("", |(name, _)| name)
    }

    /// Refuses the keys that go with something else than `chosen`.
    fn refuse_others(&self, section: &Section<'_>, chosen: &Spanned<T>) -> Result<(), Reported> {
        let others = self
            .others
            .iter()
            .filter(|(_, goes_with)| !goes_with.contains(chosen.get_ref()));
        let mut outcome = Ok(());
        for (key, goes_with) in others {
            let Some(field) = section.field(key) else {
                continue;
            };
            let names: Vec<_> = goes_with.iter().map(|choice| self.name(*choice)).collect();
            let message = format!("`{key}` has no meaning here");
            let problem = Problem::at(field.key_place.clone(), message)
                .expecting(format!(
                    "goes only with `{}` as {}",
                    self.key,
                    quoted(&names)
                ))
                .beside(chosen.span(), "not with this");
            outcome = Err(field.report(problem));
        }
        outcome
    }
}
