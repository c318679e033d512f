//! A PNG of 256 colours, uncompressed: a stored block is a valid deflate stream.

const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
/// Eight bits per pixel, each the number of a colour in the palette.
const FORMAT: [u8; 5] = [8, 3, 0, 0, 0];
const BLOCK_MAX: usize = 0xffff;

/// `pixels` are rows from the top, each `width` long.
pub(crate) fn encode(width: u32, palette: &[[u8; 3]; 256], pixels: &[u8]) -> anyhow::Result<Vec<u8>> {
    let rows: Vec<_> = pixels.chunks(usize::try_from(width)?).collect();
    let height = u32::try_from(rows.len())?;
    // Every row starts with its filter type: none.
    let raw: Vec<u8> = rows.into_iter().flat_map(|row| [&[0], row].concat()).collect();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &FORMAT].concat();
    let mut png = SIGNATURE.to_vec();
    chunk(&mut png, b"IHDR", &header)?;
    chunk(&mut png, b"PLTE", palette.as_flattened())?;
    chunk(&mut png, b"IDAT", &zlib(&raw)?)?;
    chunk(&mut png, b"IEND", &[])?;
    Ok(png)
}

fn chunk(png: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) -> anyhow::Result<()> {
    png.extend(u32::try_from(data.len())?.to_be_bytes());
    let start = png.len();
    png.extend(kind);
    png.extend(data);
    let sum = crc32fast::hash(&png[start..]);
    png.extend(sum.to_be_bytes());
    Ok(())
}

fn zlib(raw: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut stream = vec![0x78, 0x01];
    let mut blocks = raw.chunks(BLOCK_MAX).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len())?;
        stream.push(u8::from(blocks.peek().is_none()));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (low, high) = raw.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    stream.extend((high << 16 | low).to_be_bytes());
    Ok(stream)
}
