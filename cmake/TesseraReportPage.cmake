# The report page's script: npm fetches the charting library and the bundler that report/package-lock.json pins, node
# bundles them. Included, it sets
#   TESSERA_REPORT_PAGE    the files of the page, to be embedded: page.html, page.css, page.js, licences.txt
find_program(TESSERA_NODE node REQUIRED)
find_program(TESSERA_NPM npm REQUIRED)

set(report_sources ${PROJECT_SOURCE_DIR}/report)
set(report_output ${PROJECT_BINARY_DIR}/report)
file(GLOB report_scripts CONFIGURE_DEPENDS ${report_sources}/*.js)

add_custom_command(OUTPUT ${report_output}/packages.stamp
  COMMAND ${CMAKE_COMMAND} -E make_directory ${report_output}
  COMMAND ${CMAKE_COMMAND} -E copy ${report_sources}/package.json ${report_sources}/package-lock.json ${report_output}
  COMMAND ${TESSERA_NPM} ci --ignore-scripts --no-audit --no-fund --loglevel=error --prefix ${report_output}
  COMMAND ${CMAKE_COMMAND} -E touch ${report_output}/packages.stamp
  DEPENDS ${report_sources}/package.json ${report_sources}/package-lock.json
  COMMENT "Fetching the report page's charting library" VERBATIM)

add_custom_command(OUTPUT ${report_output}/page.js ${report_output}/licences.txt
  COMMAND ${TESSERA_NODE} ${report_sources}/build.mjs ${report_output}
  DEPENDS ${report_output}/packages.stamp ${report_sources}/build.mjs ${report_scripts}
  COMMENT "Bundling the report page's script" VERBATIM)

set(TESSERA_REPORT_PAGE ${report_sources}/page.html ${report_sources}/page.css ${report_output}/page.js
  ${report_output}/licences.txt)
