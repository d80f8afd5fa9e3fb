# Every third-party package; docs/dependencies.md gives the reason for each.
find_package(OpenMP REQUIRED)
find_package(hwy REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
