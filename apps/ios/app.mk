# make app-test      the sample app's logic (SampleCore): its tests, on this machine
# make app-check     all sources of the app against stubs of Apple's modules: type-checked in Swift 6 mode, never run here
# make app-preview   build/preview: the app's own views above a stand-in for SwiftUI; preview/render.py makes pictures of it
# Debian's libswiftObservation refers to a symbol that no library of it has; nothing calls it.
APP_FLAGS := --disable-sandbox -j 1 -c release -Xswiftc -enable-testing -Xlinker --allow-shlib-undefined
APP_BUILT := $(OUT)/preview/release/Modules
APP_MODULES := $(OUT)/app-stubs

.PHONY: app-test app-check app-preview

app-test: library
	$(SWIFT) swift test $(APP_FLAGS) --package-path SampleCore --scratch-path $(OUT)/sample

app-check: app-preview
	mkdir -p $(APP_MODULES)
	for stub in $(STUBS); do \
		$(SWIFT) swiftc -swift-version 6 -parse-as-library -emit-module -module-name $$stub \
			-emit-module-path $(APP_MODULES)/$$stub.swiftmodule stubs/$$stub/*.swift && \
		$(SWIFT) swiftc -swift-version 6 -warnings-as-errors -parse-as-library -emit-module -module-name $${stub}Runner \
			-emit-module-path $(APP_MODULES)/$${stub}Runner.swiftmodule \
			-I $(APP_MODULES) -I $(APP_BUILT) $(KIT)/Sources/$${stub}Runner/*.swift || exit 1; \
	done
	$(SWIFT) swiftc -swift-version 6 -warnings-as-errors -parse-as-library -typecheck -module-name Sample \
		-I $(APP_MODULES) -I $(APP_BUILT) -I $(KIT)/HostSupport/CExecuTorch -I $(RUNNER)/c_api \
		$(shell find Sample -name '*.swift')

app-preview: library
	$(SWIFT) swift build $(APP_FLAGS) --package-path preview --scratch-path $(OUT)/preview
