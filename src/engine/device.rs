use super::EngineError;
use candle_core::Device;
use std::fmt;
use std::str::FromStr;

/// Where a model is to run. GPUs are in builds with the Cargo feature `cuda` or `metal` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The first GPU that this build can use, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The NVIDIA GPU of this number, counted from 0.
    Cuda(usize),
    /// The GPU of a Mac.
    Metal,
}

impl DeviceChoice {
    /// Makes the device ready.
    ///
    /// # Errors
    /// If it is a GPU that is not there, or that this build has no code for.
    pub fn open(self) -> Result<Device, EngineError> {
        let device = self.made_ready()?;
        tracing::info!(asked = %self, on = ?device.location(), "device chosen");
        Ok(device)
    }

    fn made_ready(self) -> Result<Device, EngineError> {
        let refused = |reason: String| EngineError::Device { device: self.to_string(), reason };
        let built = |there: bool, feature: &str| match there {
            true => Ok(()),
            false => Err(refused(format!(
                "this build has no code for it\n\nhint: build with `--features {feature}`, or leave `--device` out"
            ))),
        };
        let failed = |error: candle_core::Error| {
            refused(error.to_string().lines().next().unwrap_or_default().to_owned())
        };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(number) => {
                built(cfg!(feature = "cuda"), "cuda")?;
                Device::new_cuda(number).map_err(failed)
            }
            Self::Metal => {
                built(cfg!(feature = "metal"), "metal")?;
                Device::new_metal(0).map_err(failed)
            }
            Self::Auto => self.resolved()?.made_ready(),
        }
    }

    /// The device that `auto` comes to; any other is what it is.
    ///
    /// # Errors
    /// If it cannot be used.
    pub fn resolved(self) -> Result<Self, EngineError> {
        match self {
            Self::Auto => {
                let gpus = [Self::Cuda(0), Self::Metal];
                Ok(gpus.into_iter().find(|gpu| gpu.made_ready().is_ok()).unwrap_or(Self::Cpu))
            }
            choice => choice.made_ready().map(|_| choice),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    /// Reads `auto`, `cpu`, `cuda`, `cuda:1` or `metal`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':').map_or((text, None), |(kind, number)| (kind, Some(number))) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("metal", None) => Ok(Self::Metal),
            ("cuda", None) => Ok(Self::Cuda(0)),
            ("cuda", Some(number)) => match number.parse() {
                Ok(number) => Ok(Self::Cuda(number)),
                Err(_) => Err(format!("\"{number}\" is no number of a GPU; the first is cuda:0")),
            },
            _ => Err("a device is auto, cpu, cuda, cuda:N or metal".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "metal"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        for text in ["", "gpu", "cpu:0", "cuda:", "cuda:-1", "cuda:x", "Cuda"] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }

    #[test]
    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    fn without_code_for_a_gpu_the_cpu_is_taken_and_a_gpu_refused_with_the_remedy() {
        assert!(DeviceChoice::Auto.open().unwrap().is_cpu());
        for (device, feature) in [(DeviceChoice::Cuda(1), "cuda"), (DeviceChoice::Metal, "metal")] {
            let error = device.open().unwrap_err().to_string();
            assert!(error.contains(&format!("`--features {feature}`")), "{error}");
        }
    }
}
