//! What is asked for, as it stands in a request.

use super::{field::Field, reading::Reported, values::text};

/// A path, which `expected` describes, without any of the characters that `end` it.
pub(super) fn path<'a>(
    field: &Field<'a>,
    expected: &str,
    end: (&[char], &str),
) -> Result<&'a str, Reported> {
    let written = text(field, expected)?;
    let (behind, why) = end;
    if !written.starts_with('/') {
        Err(no_path(field, expected, "it begins with `/`"))
    } else if written.contains(behind) {
        Err(no_path(field, expected, why))
    } else if !written.bytes().all(|byte| byte.is_ascii_graphic()) {
        let why = "other characters are percent-encoded, as in a request";
        Err(no_path(field, expected, why))
    } else {
        Ok(written)
    }
}

/// Notes that the value is no path, and why.
pub(super) fn no_path(field: &Field<'_>, expected: &str, why: &str) -> Reported {
    let written = text(field, expected).unwrap_or_default();
    let message = format!("`{}` is not a path: {why}", written.escape_debug());
    field.fault(message, format!("expected {expected}"))
}
