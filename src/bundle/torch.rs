//! torch's zip archive of a pickled `state_dict`, read without running anything in it and without believing what it says
//! of sizes.

use super::checkpoint::is_buffer;
use super::pickle::{Id, Node, Pickle};
use super::weights::finite_tensor;
use candle_core::{DType, Device, Tensor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// Where the values of a tensor stand.
struct Place {
    kind: DType,
    /// Name of its storage in the archive.
    storage: String,
    /// Values before its first.
    offset: usize,
    shape: Vec<usize>,
    /// Values from one index to the next, for every dimension.
    strides: Vec<usize>,
}

/// Storages, and what they hold.
const KINDS: [(&str, DType); 6] = [
    ("torch FloatStorage", DType::F32),
    ("torch DoubleStorage", DType::F64),
    ("torch HalfStorage", DType::F16),
    ("torch BFloat16Storage", DType::BF16),
    ("torch ByteStorage", DType::U8),
    ("torch LongStorage", DType::I64),
];

/// Values of all tensors together, for every byte of the file: two tensors may share a storage, any number would be a way to
/// fill the memory from a small file.
const SHARED: u64 = 2;

/// The tensors of an archive by name, f32.
///
/// # Errors
/// With a reason.
pub(super) fn read_torch(path: &Path) -> Result<BTreeMap<String, Tensor>, String> {
    let wrong = |reason: String| format!("the weights cannot be read: {reason}");
    let file = File::open(path).map_err(|e| wrong(e.to_string()))?;
    let size = file.metadata().map_err(|e| wrong(e.to_string()))?.len();
    let zip = ZipArchive::new(BufReader::new(file)).map_err(|e| wrong(e.to_string()))?;
    let mut archive = Archive { zip, size, left: size, storages: BTreeMap::new() };
    let (folder, pickle) = archive.pickle().map_err(wrong)?;
    let mut left = size.saturating_mul(SHARED);
    let mut tensors = BTreeMap::new();
    let pairs = match pickle.root() {
        Node::Dict(pairs) => pairs.as_slice(),
        _ => &[],
    };
    for &(name, value) in pairs {
        let Some(name) = pickle.text(name).filter(|name| !is_buffer(name)) else { continue };
        let Some(arguments) = arguments(&pickle, value) else { continue };
        let wrong = |reason: String| wrong(format!("tensor `{name}`: {reason}"));
        let place =
            place(&pickle, arguments).ok_or_else(|| wrong("it is not made as torch makes it".into()))?;
        let count = place.shape.iter().try_fold(1u64, |count, &n| count.checked_mul(n as u64));
        left = count.and_then(|count| left.checked_sub(count)).ok_or_else(|| {
            wrong(format!("{:?} has more values than a file of {size} bytes can hold", place.shape))
        })?;
        let storage = archive.storage(&format!("{folder}/data/{}", place.storage)).map_err(wrong)?;
        let bytes = bytes(&place, storage).map_err(wrong)?;
        let tensor = Tensor::from_raw_buffer(&bytes, place.kind, &place.shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::F32))
            .map_err(|e| wrong(e.to_string()))?;
        tensors.insert(name.to_owned(), finite_tensor(name, tensor)?);
    }
    if tensors.is_empty() {
        return Err("it holds no tensors by name: not a `state_dict`".into());
    }
    Ok(tensors)
}

struct Archive {
    zip: ZipArchive<BufReader<File>>,
    /// Bytes of the file. torch compresses nothing: all that is in it together is not longer.
    size: u64,
    left: u64,
    storages: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    fn entry(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let entry = self.zip.by_name(name).map_err(|e| format!("{name}: {e}"))?;
        let mut bytes = Vec::new();
        entry.take(self.left + 1).read_to_end(&mut bytes).map_err(|e| format!("{name}: {e}"))?;
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left =
            left.ok_or_else(|| format!("there is more in the archive than {} bytes can hold", self.size))?;
        Ok(bytes)
    }

    fn storage(&mut self, name: &str) -> Result<&[u8], String> {
        if !self.storages.contains_key(name) {
            let bytes = self.entry(name)?;
            self.storages.insert(name.to_owned(), bytes);
        }
        Ok(&self.storages[name])
    }

    /// The pickle, and the folder that it is in.
    fn pickle(&mut self) -> Result<(String, Pickle), String> {
        let names = self.zip.file_names().filter_map(Result::ok);
        let name = names.filter(|name| name.ends_with("/data.pkl")).map(|name| name.into_owned()).next();
        let name = name.ok_or("the archive has no `data.pkl`")?;
        let pickle = Pickle::parse(&self.entry(&name)?)?;
        Ok((name.trim_end_matches("/data.pkl").to_owned(), pickle))
    }
}

/// What `_rebuild_tensor_v2` is given for a value, through what torch may wrap around it; `None` if it is no tensor.
fn arguments(pickle: &Pickle, mut value: Id) -> Option<&[Id]> {
    // A parameter in a subclass of tensors is the longest way.
    for _ in 0..3 {
        let Node::Call(function, arguments) = pickle.node(value) else { return None };
        let arguments = pickle.tuple(*arguments)?;
        let Node::Name(name) = pickle.node(*function) else { return None };
        match name.as_str() {
            "torch._utils _rebuild_tensor_v2" => return Some(arguments),
            "torch._utils _rebuild_parameter" => value = *arguments.first()?,
            "torch._tensor _rebuild_from_type_v2" => {
                let Node::Name(inner) = pickle.node(*arguments.first()?) else { return None };
                return (inner == "torch._utils _rebuild_tensor_v2")
                    .then(|| pickle.tuple(*arguments.get(2)?))?;
            }
            _ => return None,
        }
    }
    None
}

/// Reads storage, offset, size and stride, the first arguments of `_rebuild_tensor_v2`.
fn place(pickle: &Pickle, arguments: &[Id]) -> Option<Place> {
    let [storage, offset, shape, strides, ..] = arguments else { return None };
    let Node::Outside(storage) = pickle.node(*storage) else { return None };
    let [_, class, key, ..] = pickle.tuple(*storage)? else { return None };
    let Node::Name(class) = pickle.node(*class) else { return None };
    let (_, kind) = KINDS.into_iter().find(|(name, _)| name == class)?;
    let counts = |id: Id| pickle.tuple(id)?.iter().map(|&id| pickle.count(id)).collect::<Option<Vec<_>>>();
    Some(Place {
        kind,
        storage: pickle.text(*key)?.to_owned(),
        offset: pickle.count(*offset)?,
        shape: counts(*shape)?,
        strides: counts(*strides)?,
    })
}

/// The values of a tensor in the order of its indices.
fn bytes<'a>(place: &Place, storage: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
    let Place { kind, offset, shape, strides, .. } = place;
    let width = kind.size_in_bytes();
    let outside = || "it lies outside its storage".to_owned();
    if shape.len() != strides.len() {
        return Err("it has not one stride for every dimension".into());
    }
    if shape.contains(&0) {
        return Ok(Cow::default());
    }
    let mut steps = shape.iter().zip(strides);
    let reach = steps.try_fold(*offset, |end, (n, stride)| end.checked_add((n - 1).checked_mul(*stride)?));
    if reach.ok_or_else(outside)? >= storage.len() / width {
        return Err(outside());
    }
    let count: usize = shape.iter().product();
    // Strides of values that follow each other, from the last dimension on; where there is one index the stride is not asked for.
    let dense = shape
        .iter()
        .zip(strides)
        .rev()
        .try_fold(1, |dense, (&n, &stride)| (n == 1 || stride == dense).then_some(dense * n));
    if dense.is_some() {
        return Ok(Cow::Borrowed(&storage[offset * width..][..count * width]));
    }
    let mut bytes = Vec::with_capacity(count * width);
    let mut index = vec![0; shape.len()];
    let mut at = *offset;
    loop {
        bytes.extend_from_slice(&storage[at * width..][..width]);
        let Some(next) = (0..shape.len()).rev().find(|&d| index[d] + 1 < shape[d]) else { break };
        index[next] += 1;
        at += strides[next];
        for d in next + 1..shape.len() {
            at -= index[d] * strides[d];
            index[d] = 0;
        }
    }
    Ok(Cow::Owned(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::{SimpleFileOptions, ZipWriter};

    /// A pickle of one tensor, as torch writes it. The arguments are pickled too.
    fn pickled(class: &str, arguments: &[&[u8]]) -> Vec<u8> {
        let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        let mut pickle = b"\x80\x02ccollections\nOrderedDict\n)R(".to_vec();
        pickle.extend(text("a"));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(format!("ctorch\n{class}\n").bytes());
        pickle.extend([text("0"), text("cpu")].concat());
        pickle.extend(b"K\x06tQ");
        pickle.extend(arguments.concat());
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtRu.");
        pickle
    }

    fn read(pickle: &[u8], storage: &[u8]) -> Result<Tensor, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pytorch_model.bin");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        for (name, content) in [("m/data.pkl", pickle), ("m/data/0", storage)] {
            let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
            zip.start_file(name, stored).unwrap();
            zip.write_all(content).unwrap();
        }
        zip.finish().unwrap();
        read_torch(&path).map(|mut tensors| tensors.remove("a").unwrap())
    }

    fn numbers() -> Vec<u8> {
        (0..6u8).flat_map(|n| f32::from(n).to_le_bytes()).collect()
    }

    #[test]
    fn a_part_of_a_storage_is_read_in_the_order_of_its_indices() {
        let read = |arguments: &[&[u8]]| read(&pickled("FloatStorage", arguments), &numbers());
        let whole = read(&[b"K\x00", b"K\x02K\x03\x86", b"K\x03K\x01\x86"]).unwrap();
        assert_eq!(whole.to_vec2::<f32>().unwrap(), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
        let turned = read(&[b"K\x00", b"K\x03K\x02\x86", b"K\x01K\x03\x86"]).unwrap();
        assert_eq!(turned.to_vec2::<f32>().unwrap(), [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]);
        let behind = read(&[b"K\x04", b"K\x02\x85", b"K\x01\x85"]).unwrap();
        assert_eq!(behind.to_vec1::<f32>().unwrap(), [4.0, 5.0]);
        let scalar = read(&[b"K\x05", b")", b")"]).unwrap();
        assert_eq!(scalar.to_scalar::<f32>().unwrap(), 5.0);
    }

    #[test]
    fn numbers_of_every_kind_become_f32() {
        let one = [&b"K\x00"[..], b"K\x01\x85", b"K\x01\x85"];
        for (class, bytes) in [
            ("DoubleStorage", &2f64.to_le_bytes()[..]),
            ("HalfStorage", &[0x00, 0x40]),
            ("BFloat16Storage", &[0x00, 0x40]),
            ("ByteStorage", &[2]),
            ("LongStorage", &2i64.to_le_bytes()),
        ] {
            let tensor = read(&pickled(class, &one), bytes).unwrap();
            assert_eq!(tensor.to_vec1::<f32>().unwrap(), [2.0], "{class}");
        }
    }

    #[test]
    fn sizes_that_the_file_cannot_hold_are_refused() {
        let two_to_the_40 = b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85";
        for (arguments, reason) in [
            ([&b"K\x00"[..], two_to_the_40, b"K\x01\x85"], "more values than a file of"),
            ([b"K\x00", two_to_the_40, b"K\x00\x85"], "more values than a file of"),
            ([b"K\x05", b"K\x02\x85", b"K\x01\x85"], "outside its storage"),
            ([b"K\x00", b"K\x02\x85", b"K\x06\x85"], "outside its storage"),
            ([b"K\x00", b"K\x02\x85", b")"], "one stride for every dimension"),
            ([b"J\xff\xff\xff\xff", b"K\x02\x85", b"K\x01\x85"], "not made as torch makes it"),
        ] {
            let error = read(&pickled("FloatStorage", &arguments), &numbers()).unwrap_err();
            assert!(error.contains("tensor `a`") && error.contains(reason), "{error}");
        }
        let short = read(&pickled("FloatStorage", &[]), &numbers()).unwrap_err();
        assert!(short.contains("not made as torch makes it"), "{short}");
        let unknown = pickled("QInt8Storage", &[b"K\x00", b"K\x02\x85", b"K\x01\x85"]);
        assert!(read(&unknown, &numbers()).unwrap_err().contains("not made as torch makes it"));
        assert!(read(b"}.", &[]).unwrap_err().contains("not a `state_dict`"));
    }
}
