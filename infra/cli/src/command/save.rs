//! Where a downloaded or changed file goes.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use domain::id::base32;
use shared::boot::Random;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

/// Where the bytes of a download go. Nothing else is written, whatever links exist there.
#[derive(Debug)]
pub(super) enum Place {
    /// A regular file: it appears when it is complete. Until then its bytes are in `part`, which is new.
    File { file: PathBuf, part: PathBuf },
    /// A device or a pipe: it gets the bytes as they come.
    Stream(PathBuf),
}

impl Place {
    /// Fails if no file can be saved there: a name that is too long or a folder without permission shows only when
    /// a file is created. Leaves nothing there.
    pub(super) fn of(out: &Path) -> Result<Self> {
        let shown = out.display();
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            ensure!(folder.is_dir(), "there is no folder {} for the output file", folder.display());
        }
        match fs::metadata(out) {
            Ok(found) if found.is_dir() => bail!("{shown} is a folder: --out must be a file"),
            Ok(found) if !found.is_file() => return Ok(Self::Stream(out.to_owned())),
            Ok(_) => {}
            Err(error) => {
                ensure!(error.kind() == ErrorKind::NotFound, "{shown} cannot be written: {error}");
            }
        }
        ensure!(!out.is_symlink(), "{shown} is a link: name the file that it leads to");
        let mut part = out.to_owned().into_os_string();
        part.push(format!(".{}.part", base32(&Random::System.bytes::<5>())));
        let part = PathBuf::from(part);
        let tried = fs::File::create_new(&part).and_then(|_file| fs::remove_file(&part));
        tried.with_context(|| format!("{shown} cannot be written"))?;
        Ok(Self::File { file: out.to_owned(), part })
    }

    /// Opens it for writing.
    pub(super) async fn open(&self) -> Result<File> {
        let mut options = OpenOptions::new();
        let (options, path) = match self {
            Self::File { part, .. } => (options.write(true).create_new(true), part),
            Self::Stream(path) => (options.write(true), path),
        };
        options.open(path).await.with_context(|| self.unwritable())
    }

    /// Writes a whole file at once.
    pub(super) async fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut file = self.open().await?;
        let written = async { file.write_all(bytes).await.and(file.sync_all().await) }.await;
        match written.with_context(|| self.unwritable()) {
            Ok(()) => self.keep().await,
            wrong => {
                self.discard().await;
                wrong
            }
        }
    }

    /// Ends a download that is complete.
    pub(super) async fn keep(&self) -> Result<()> {
        let Self::File { file, part } = self else { return Ok(()) };
        tokio::fs::rename(part, file).await.with_context(|| self.unwritable())
    }

    /// Ends a download that failed: no file is left of it.
    pub(super) async fn discard(&self) {
        if let Self::File { part, .. } = self {
            let _absent = tokio::fs::remove_file(part).await;
        }
    }

    pub(super) fn unwritable(&self) -> String {
        let (Self::File { file: path, .. } | Self::Stream(path)) = self;
        format!("{} cannot be written", path.display())
    }
}
