# metering/
