//! The picture of a code: black and white, with the margin that scanners want.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use qrcode::{Color, EcLevel, QrCode};

/// Modules of white around the code (ISO/IEC 18004, 9.1).
const MARGIN: usize = 4;

/// Dots of one module, each way.
const SCALE: usize = 6;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Draws a code and returns it as a data URL of a PNG.
///
/// # Errors
/// When the text has more than the 2,953 bytes that a code can hold.
pub(super) fn data_url(text: &str) -> Result<String, Failure> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(png_of(text)?)))
}

fn png_of(text: &str) -> Result<Vec<u8>, Failure> {
    // The lowest level of correction, as WhatsApp itself shows codes: they are read from a screen.
    let code = QrCode::with_error_correction_level(text, EcLevel::L)?;
    let (n_modules, colors) = (code.width(), code.to_colors());
    let size = (n_modules + 2 * MARGIN) * SCALE;
    let is_dark = |x: usize, y: usize| {
        let module = |dot: usize| (dot / SCALE).checked_sub(MARGIN).filter(|module| *module < n_modules);
        let (Some(x), Some(y)) = (module(x), module(y)) else { return false };
        colors[y * n_modules + x] == Color::Dark
    };
    // One bit for each dot, the first one in the highest bit; each row begins a byte.
    let mut rows = vec![0_u8; size.div_ceil(8) * size];
    for (y, row) in rows.chunks_mut(size.div_ceil(8)).enumerate() {
        for x in (0..size).filter(|x| !is_dark(*x, y)) {
            row[x / 8] |= 0x80 >> (x % 8);
        }
    }
    let (mut bytes, side) = (Vec::new(), u32::try_from(size)?);
    let mut encoder = png::Encoder::new(&mut bytes, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&rows)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_the_modules_of_its_code() {
        let text = "2@abc,def,ghi";
        let bytes = png_of(text).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut dots = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut dots).unwrap();
        let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        let size = (code.width() + 2 * MARGIN) * SCALE;
        assert_eq!((info.width as usize, info.height as usize), (size, size));
        let row_bytes = size.div_ceil(8);
        let is_dark = |x: usize, y: usize| dots[y * row_bytes + x / 8] & (0x80 >> (x % 8)) == 0;
        for (at, color) in code.to_colors().into_iter().enumerate() {
            let place = |module: usize| (module + MARGIN) * SCALE + SCALE / 2;
            let (x, y) = (place(at % code.width()), place(at / code.width()));
            assert_eq!(is_dark(x, y), color == Color::Dark, "module {at}");
        }
        assert!((0..size).all(|x| !is_dark(x, 0) && !is_dark(0, x)), "the margin is white");
    }

    #[test]
    fn a_text_that_no_code_holds_is_refused() {
        assert!(data_url(&"x".repeat(2_953)).unwrap().starts_with("data:image/png;base64,iVBOR"));
        assert!(data_url(&"x".repeat(2_954)).is_err());
    }
}
