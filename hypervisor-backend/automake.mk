# hypervisor-backend/
