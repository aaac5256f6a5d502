"""Native CPU code: fused groups become loop IR, loop IR becomes machine code, in process."""
