//! Where the socket for orders lies that is not configured.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, Metadata},
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{DirBuilderExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

use rustix::process::{Uid, geteuid};

/// Why there is no usual place.
#[derive(Debug, thiserror::Error)]
pub enum UsualError {
    /// The configuration file cannot be told from others.
    #[error("cannot find {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder of this user cannot be made.
    #[error("cannot make {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else might get into the folder.
    #[error("{} is not a folder of this user's alone, with the mode 0700", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
    },
}

/// Where a proxy that runs with the configuration file `config` has its socket, unless it is told
/// otherwise: in a folder of its user's alone, which is made if it has to be, and under a name that
/// goes with the file.
///
/// # Errors
/// If the file's folder cannot be found, or the socket's folder is not to be trusted.
pub fn usual_socket(config: &Path) -> Result<PathBuf, UsualError> {
    let name = name(config).map_err(|source| UsualError::File {
        path: config.to_owned(),
        source,
    })?;
    Ok(folder(|variable| env::var_os(variable))?.join(name))
}

/// The name goes with the file's folder, by its real path, and the file's own name: what that name
/// links to may change while the proxy runs.
fn name(config: &Path) -> io::Result<PathBuf> {
    let folder = match config.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let file = config.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let path = fs::canonicalize(folder)?.join(file);
    let hash = blake3::hash(path.as_os_str().as_bytes()).to_hex();
    Ok(format!("longwire-{}.sock", &hash[..16]).into())
}

/// The folder that the service manager or the session has made for this user, or else one of ours.
fn folder(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, UsualError> {
    let given = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"]
        .into_iter()
        .filter_map(variable)
        .filter_map(|folders| first_of(&folders))
        .find(|folder| folder.is_absolute());
    match given {
        Some(folder) => Ok(folder),
        None => own_folder(&env::temp_dir(), geteuid()),
    }
}

/// The first of a list that is separated by colons.
fn first_of(folders: &OsStr) -> Option<PathBuf> {
    let first = folders.as_bytes().split(|byte| *byte == b':').next()?;
    Some(OsString::from_vec(first.to_vec()).into())
}

/// The folder of the user with the number `own`, in one that everybody can write to: somebody else
/// may have made it, to be the one who gets our orders.
fn own_folder(temporary: &Path, own: Uid) -> Result<PathBuf, UsualError> {
    let path = temporary.join(format!("longwire-{}", own.as_raw()));
    let failed = |source| UsualError::Folder {
        path: path.clone(),
        source,
    };
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    let folder = fs::symlink_metadata(&path).map_err(failed)?;
    if is_for(&folder, own) {
        Ok(path)
    } else {
        Err(UsualError::Open { path })
    }
}

/// Whether this is a folder, no link to one, that its owner `own` alone can get into.
fn is_for(folder: &Metadata, own: Uid) -> bool {
    folder.is_dir() && folder.uid() == own.as_raw() && folder.mode() & 0o077 == 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::tempdir;

    use super::*;

    #[test]
    fn the_name_goes_with_the_file_however_it_is_called() {
        let folder = tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("real")).unwrap();
        symlink(path.join("real"), path.join("link")).unwrap();
        let real = name(&path.join("real/proxy.toml")).unwrap();
        assert_eq!(name(&path.join("link/proxy.toml")).unwrap(), real);
        assert_eq!(name(&path.join("real/../link/proxy.toml")).unwrap(), real);
        assert_ne!(name(&path.join("real/other.toml")).unwrap(), real);
        let (prefix, rest) = real.to_str().unwrap().split_once('-').unwrap();
        assert_eq!((prefix, rest.len()), ("longwire", 16 + ".sock".len()));
    }

    #[test]
    fn a_file_that_is_linked_to_another_version_keeps_its_name() {
        let folder = tempdir().unwrap();
        let path = folder.path();
        let file = path.join("proxy.toml");
        symlink("version-1", &file).unwrap();
        let before = name(&file).unwrap();
        fs::remove_file(&file).unwrap();
        symlink("version-2", &file).unwrap();
        assert_eq!(name(&file).unwrap(), before);
    }

    #[test]
    fn the_service_managers_folder_goes_before_the_sessions() {
        let given = |service: &'static str, session: &'static str| {
            let variable = move |name: &str| match name {
                "RUNTIME_DIRECTORY" => Some(service.into()),
                _ => Some(session.into()),
            };
            folder(variable).unwrap()
        };
        assert_eq!(given("/run/a:/run/b", "/run/user/1"), Path::new("/run/a"));
        assert_eq!(given("", "/run/user/1"), Path::new("/run/user/1"));
        assert_eq!(given("a", "/run/user/1"), Path::new("/run/user/1"));
    }

    #[test]
    fn without_either_the_user_gets_a_folder_of_its_own() {
        let temporary = tempdir().unwrap();
        let made = own_folder(temporary.path(), geteuid()).unwrap();
        let mode = fs::metadata(&made).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(own_folder(temporary.path(), geteuid()).unwrap(), made);
    }

    #[test]
    fn a_folder_that_others_can_get_into_is_not_used() {
        let temporary = tempdir().unwrap();
        let made = own_folder(temporary.path(), geteuid()).unwrap();
        for mode in [0o710, 0o701, 0o777] {
            fs::set_permissions(&made, fs::Permissions::from_mode(mode)).unwrap();
            let refused = own_folder(temporary.path(), geteuid());
            assert!(matches!(refused, Err(UsualError::Open { .. })), "{mode:o}");
        }
    }

    #[test]
    fn what_somebody_else_has_made_in_its_place_is_not_used() {
        let own = tempdir().unwrap();
        let elsewhere = own_folder(own.path(), geteuid()).unwrap();
        let temporary = tempdir().unwrap();
        let place = temporary
            .path()
            .join(format!("longwire-{}", geteuid().as_raw()));
        symlink(elsewhere, place).unwrap();
        let refused = own_folder(temporary.path(), geteuid());
        assert!(matches!(refused, Err(UsualError::Open { .. })));

        // Another user's number stands in for a folder that another user owns.
        let other = Uid::from_raw(geteuid().as_raw() + 1);
        let place = temporary
            .path()
            .join(format!("longwire-{}", other.as_raw()));
        DirBuilder::new().mode(0o700).create(place).unwrap();
        let refused = own_folder(temporary.path(), other);
        assert!(matches!(refused, Err(UsualError::Open { .. })));
    }
}
