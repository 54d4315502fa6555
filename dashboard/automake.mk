# dashboard/
