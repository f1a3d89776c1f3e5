//! Factors to pixels: layers of polygons over a plain background, by scanline. Knows nothing of
//! classes or rates.

use super::draws::sine;

/// Scanlines a pixel row: vertical coverage in steps of a quarter; horizontal is exact.
const LINES: usize = 4;

pub type Colour = [f32; 3];

/// Planar RGB, 0 to 1.
pub struct Canvas {
    side: usize,
    planes: Vec<f32>,
    /// Signed coverage changes, `side + 2` columns a row; zero between two fills.
    changes: Vec<f32>,
}

/// A pattern between two colours.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    pub middle: Colour,
    /// Half the way from one colour to the other; zero is a plain colour.
    pub swing: Colour,
    pub pattern: Pattern,
}

/// Two gratings: `along` alone, or their product.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    /// Cycles per image side in x and y.
    pub along: (f32, f32),
    pub across: (f32, f32),
    /// Turns.
    pub phases: (f32, f32),
    pub crossed: bool,
}

impl Paint {
    pub const fn plain(colour: Colour) -> Self {
        let pattern =
            Pattern { along: (0.0, 0.0), across: (0.0, 0.0), phases: (0.0, 0.0), crossed: false };
        Self { middle: colour, swing: [0.0; 3], pattern }
    }
}

/// One period of a sine, by the top eight bits of a phase.
pub struct Waves([f32; 256]);

impl Waves {
    pub fn new() -> Self {
        Self(std::array::from_fn(|i| sine(i as f32 / 256.0)))
    }

    const fn at(&self, phase: u32) -> f32 {
        self.0[(phase >> 24) as usize]
    }
}

/// A phase in turns as a 32-bit fraction; whole turns wrap away.
fn fixed(turns: f32) -> u32 {
    let turn = turns - turns.floor();
    (turn * 4_294_967_296.0) as u32
}

/// A grating in fixed point: the phase at pixel (x, y) is `start + x across + y down`.
struct Grating {
    start: u32,
    right: u32,
    down: u32,
}

impl Grating {
    fn new(cycles: (f32, f32), phase: f32, side: usize) -> Self {
        let pixel = 1.0 / side as f32;
        Self { start: fixed(phase), right: fixed(cycles.0 * pixel), down: fixed(cycles.1 * pixel) }
    }

    const fn phase(&self, x: u32, y: u32) -> u32 {
        self.start.wrapping_add(x.wrapping_mul(self.right)).wrapping_add(y.wrapping_mul(self.down))
    }
}

impl Canvas {
    /// A canvas shaded from `colour` by `slope` across the side in x and y.
    pub fn new(side: usize, colour: Colour, slope: (f32, f32)) -> Self {
        let mut planes = Vec::with_capacity(3 * side * side);
        let step = (slope.0 / side as f32, slope.1 / side as f32);
        let corner = -0.5 * (slope.0 + slope.1);
        for channel in colour {
            for y in 0..side {
                let start = channel + corner + step.1 * y as f32;
                planes.extend((0..side).map(|x| start + step.0 * x as f32));
            }
        }
        Self { side, planes, changes: vec![0.0; side * (side + 2)] }
    }

    /// Paints the inside of a closed polygon, corners in pixels, over what is there.
    pub fn fill(&mut self, corners: &[(f32, f32)], paint: &Paint, opacity: f32, waves: &Waves) {
        let mut rows = (self.side, 0);
        for (corner, &to) in corners.iter().enumerate() {
            let from = corners[(corner + corners.len() - 1) % corners.len()];
            self.add_edge(from, to, &mut rows);
        }
        let along = Grating::new(paint.pattern.along, paint.pattern.phases.0, self.side);
        let across = Grating::new(paint.pattern.across, paint.pattern.phases.1, self.side);
        let wave = |x: u32, y: u32| {
            let first = waves.at(along.phase(x, y));
            if paint.pattern.crossed { first * waves.at(across.phase(x, y)) } else { first }
        };
        for row in rows.0..rows.1 {
            self.fill_row(row, paint, opacity, &wave);
        }
    }

    /// Notes where each scanline crosses the edge: coverage changes right of there.
    fn add_edge(&mut self, from: (f32, f32), to: (f32, f32), rows: &mut (usize, usize)) {
        let (top, bottom, sign) = if from.1 < to.1 { (from, to, 1.0) } else { (to, from, -1.0) };
        let lines = LINES as f32;
        let first = (top.1 * lines - 0.5).ceil().max(0.0) as usize;
        let end = ((bottom.1 * lines - 0.5).ceil().max(0.0) as usize).min(self.side * LINES);
        if first >= end {
            return;
        }
        let slope = (bottom.0 - top.0) / (bottom.1 - top.1);
        for line in first..end {
            let x = top.0 + slope * ((line as f32 + 0.5) / lines - top.1);
            let x = x.clamp(0.0, self.side as f32);
            let column = x as usize;
            let right = x - column as f32;
            let at = (line / LINES) * (self.side + 2) + column;
            self.changes[at] += sign / lines * (1.0 - right);
            self.changes[at + 1] += sign / lines * right;
        }
        *rows = (rows.0.min(first / LINES), rows.1.max(end.div_ceil(LINES)));
    }

    fn fill_row(
        &mut self,
        row: usize,
        paint: &Paint,
        opacity: f32,
        wave: &impl Fn(u32, u32) -> f32,
    ) {
        let area = self.side * self.side;
        let changes = &mut self.changes[row * (self.side + 2)..(row + 1) * (self.side + 2)];
        let mut coverage = 0.0_f32;
        for (x, change) in changes[..self.side].iter().enumerate() {
            coverage += change;
            let alpha = opacity * coverage.abs().min(1.0);
            if alpha < 1e-3 {
                continue;
            }
            let mix = wave(x as u32, row as u32);
            for channel in 0..3 {
                let pixel = &mut self.planes[channel * area + row * self.side + x];
                *pixel += alpha * (paint.middle[channel] + mix * paint.swing[channel] - *pixel);
            }
        }
        changes.fill(0.0);
    }

    /// Writes bytes, with uniform noise of half-width `noise` from `bits`, eight pixels a draw.
    pub fn write(&self, pixels: &mut [u8], noise: f32, mut bits: impl FnMut() -> u64) {
        let scale = noise * 255.0 / 127.5;
        for (from, to) in self.planes.chunks(8).zip(pixels.chunks_mut(8)) {
            for ((value, pixel), byte) in from.iter().zip(to).zip(bits().to_le_bytes()) {
                *pixel = (value * 255.0 + 0.5 + scale * (f32::from(byte) - 127.5)) as u8;
            }
        }
    }
}
