"""One sentence for what pip, light-the-torch or the system wrote when an installation failed."""

from __future__ import annotations

import re

FAILURES = (  # what pip, light-the-torch or the system wrote, and what a person is told; the first that fits
    (r"no space left on device|errno 28|not enough space on the disk|disk quota exceeded",
     "The disk is full. Free some space (PyTorch needs several gigabytes) and press Install again."),
    (r"certificate_verify_failed|sslerror|ssl: ",
     "A certificate could not be checked; a company proxy often causes this. Ask your administrator, or install from a folder of wheels."),
    (r"proxyerror|tunnel connection failed|407 proxy",
     "The proxy refused the download. Set HTTPS_PROXY before Slicer starts, or install from a folder of wheels."),
    (r"winerror 206|filename or extension is too long|path too long|windows long path",
     "A path is too long for Windows. Turn on long paths in Windows, or install Slicer in a folder with a short name such as C:\\Slicer."),
    (r"newconnectionerror|name resolution|getaddrinfo failed|nodename nor servname|network is unreachable|connecttimeout|connection timed out"
     r"|max retries exceeded|connection refused|readtimeout|connection reset|failed to establish a new connection|no route to host",
     "There is no connection to the package server. Check the network, or install from a folder of wheels."),
    (r"driver (on your system )?is too old|cuda driver version is insufficient|driver version.*(unsupported|too old)",
     "The NVIDIA driver is too old for this build of PyTorch. Update the driver, or install the CPU build in the PyTorch module."),
    (r"winerror 32|being used by another process|text file busy|winerror 5\b.*\.(pyd|dll)",
     "A file is in use by this or another Slicer. Close all of them, start one and press Install before anything else."),
    (r"permission denied|permissionerror|winerror 5\b|access is denied|errno 13|read-only file system|externally-managed",
     "Slicer's folder cannot be written. Install Slicer in a folder of your own, or start it once as administrator to install."),
    (r"do not match the hashes|hash mismatch|bad crc|not a zip file|badzipfile|invalid wheel|has an invalid",
     "A download is damaged. Press Install again; if it stays, download the wheels on another machine."),
    (r"resolutionimpossible|conflicting dependencies|violate constraints",
     "Another extension needs other versions of the same packages. The details name them; use a separate Slicer for one of the two."),
    (r"dll load failed|cannot open shared object|undefined symbol|winerror 126|library not loaded|half installed",
     "PyTorch is only half installed. Restart Slicer, uninstall PyTorch in the PyTorch module and press Install again."),
    (r"memoryerror|cannot allocate memory|paging file is too small",
     "The computer ran out of memory during the installation. Close other programs and press Install again."),
    (r"could not find a version|no matching distribution",
     "There is no build of a package for this system and Python, or the package server was not reached. The details name it."),
    (r"subprocess-exited-with-error|failed building wheel|microsoft visual c\+\+",
     "A package would have to be compiled, which Slicer cannot do. The details name it; use a newer Slicer."),
    (r"no module named '?pip|ensurepip", "pip itself is missing in Slicer's Python. Install Slicer again."),
)  # fmt: skip


def explain_failure(output: str, offline: bool = False) -> str:
    """Return one sentence for what pip wrote. ``offline``: it was to take everything from a folder of wheels."""
    if offline and re.search(r"could not find a version|no matching distribution", output, re.IGNORECASE):
        return "The folder lacks a wheel for this Python and system. Download wheels for both, dependencies included."
    for pattern, sentence in FAILURES:
        if re.search(pattern, output, re.IGNORECASE):
            return sentence
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")] or lines
    reason = errors[-1][:200].rstrip(".") if errors else "no reason given"
    return f"The installation failed ({reason}). See the details."
