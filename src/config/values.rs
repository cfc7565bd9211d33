//! The kinds of value that keys have.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    ops::RangeInclusive,
    time::Duration,
};

use bytesize::ByteSize;
use toml::de::DeValue;

use super::{
    diagnostics::{did_you_mean, quoted},
    field::Field,
    reading::Reported,
};

const A_DURATION: &str = "a string such as \"20s\" or \"1m 30s\"";
const A_SIZE: &str = "a string such as \"64KiB\", or a number of bytes";
/// The end of a range that has none: more than a machine can hold of anything counted here.
pub(super) const MANY: u64 = u32::MAX as u64;
/// Past this an instant of the clock may not be able to hold it.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// A string, which `expected` describes.
pub(super) fn text<'a>(field: &Field<'a>, expected: &str) -> Result<&'a str, Reported> {
    match field.value()? {
        DeValue::String(text) => Ok(text),
        _ => Err(field.mistyped(expected)),
    }
}

/// `true` or `false`.
pub(super) fn boolean(field: &Field<'_>) -> Result<bool, Reported> {
    match *field.literal()? {
        DeValue::Boolean(boolean) => Ok(boolean),
        _ => Err(field.mistyped("`true` or `false`")),
    }
}

/// An integer from 1.
pub(super) fn positive(field: &Field<'_>) -> Result<NonZeroUsize, Reported> {
    let integer = integer(field, 1..=MANY)?;
    // The range begins at 1.
    Ok(NonZeroUsize::new(integer).unwrap_or(NonZeroUsize::MIN))
}

/// An integer from 1, of those that are counted slowly.
pub(super) fn count(field: &Field<'_>) -> Result<NonZeroU32, Reported> {
    let integer = integer(field, 1..=MANY)?;
    // The range fits, and begins at 1.
    let integer = u32::try_from(integer).ok().and_then(NonZeroU32::new);
    Ok(integer.unwrap_or(NonZeroU32::MIN))
}

/// A whole number of percent.
pub(super) fn percent(field: &Field<'_>, range: RangeInclusive<u64>) -> Result<u32, Reported> {
    let percent = integer(field, range)?;
    // No range of percent goes beyond.
    Ok(u32::try_from(percent).unwrap_or(u32::MAX))
}

/// An integer of `range`.
pub(super) fn integer(field: &Field<'_>, range: RangeInclusive<u64>) -> Result<usize, Reported> {
    let (start, end) = (range.start(), range.end());
    let expected = match *end {
        MANY => format!("an integer from {start}"),
        end => format!("an integer from {start} to {end}"),
    };
    let DeValue::Integer(integer) = &*field.literal()? else {
        return Err(field.mistyped(&expected));
    };
    i128::from_str_radix(integer.as_str(), integer.radix())
        .ok()
        .and_then(|integer| u64::try_from(integer).ok())
        .filter(|integer| range.contains(integer))
        .and_then(|integer| usize::try_from(integer).ok())
        .ok_or_else(|| {
            let message = format!("`{}` is out of range", field.key);
            field.fault(message, format!("expected {expected}"))
        })
}

/// A time longer than none.
pub(super) fn duration(field: &Field<'_>) -> Result<Duration, Reported> {
    let text = text(field, A_DURATION)?;
    let duration = humantime::parse_duration(text).map_err(|error| {
        let message = format!("`{}` is not a duration: {error}", field.key);
        field.fault(message, format!("expected {A_DURATION}"))
    })?;
    if duration.is_zero() {
        return Err(field.fault(
            format!("`{}` is zero", field.key),
            format!("expected {A_DURATION}"),
        ));
    }
    if duration > LONGEST {
        return Err(field.fault(
            format!("`{}` is too long", field.key),
            "expected at most 10 years",
        ));
    }
    Ok(duration)
}

/// A time of a second or more.
pub(super) fn seconds(field: &Field<'_>) -> Result<Duration, Reported> {
    let duration = duration(field)?;
    if duration < Duration::from_secs(1) {
        let message = format!("`{}` is too short", field.key);
        return Err(field.fault(message, "expected at least \"1s\""));
    }
    Ok(duration)
}

/// `"off"`, or what `read` takes.
pub(super) fn or_off<T>(
    field: &Field<'_>,
    read: impl FnOnce(&Field<'_>) -> Result<T, Reported>,
) -> Result<Option<T>, Reported> {
    match field.value()? {
        DeValue::String(text) if text == "off" => Ok(None),
        _ => read(field).map(Some),
    }
}

/// A number of bytes.
pub(super) fn size(field: &Field<'_>, range: RangeInclusive<ByteSize>) -> Result<usize, Reported> {
    let bytes = match &*field.literal()? {
        DeValue::String(text) => text.parse::<ByteSize>().map_err(|_| {
            let message = format!("`{}` is not a size", field.key);
            field.fault(message, format!("expected {A_SIZE}"))
        })?,
        DeValue::Integer(_) => ByteSize(integer(field, 0..=MANY)? as u64),
        _ => return Err(field.mistyped(A_SIZE)),
    };
    usize::try_from(bytes.as_u64())
        .ok()
        .filter(|_| range.contains(&bytes))
        .ok_or_else(|| {
            let message = format!("`{}` is out of range", field.key);
            let (least, most) = (range.start(), range.end());
            field.fault(message, format!("expected {least} to {most}"))
        })
}

/// One of `choices` by its name.
pub(super) fn one_of<T: Copy>(field: &Field<'_>, choices: &[(&str, T)]) -> Result<T, Reported> {
    let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
    let expected = format!("one of {}", quoted(&names));
    let text = text(field, &expected)?;
    choices
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, choice)| *choice)
        .ok_or_else(|| {
            let expected = did_you_mean(text, names, || format!("expected {expected}"));
            let text = text.escape_debug();
            field.fault(format!("`{}` cannot be `{text}`", field.key), expected)
        })
}

/// A string of at least one character.
pub(super) fn non_empty<'a>(field: &Field<'a>, expected: &str) -> Result<&'a str, Reported> {
    let text = text(field, expected)?;
    if text.is_empty() {
        let message = format!("`{}` is empty", field.key);
        return Err(field.fault(message, format!("expected {expected}")));
    }
    Ok(text)
}
