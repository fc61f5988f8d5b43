# The app's code without Gradle: compiled against the stubs of Android's classes, and packed as a signed APK.
# make app-check   compiles the app against the stubs
# make app-test    its JUnit tests, on the bundle of BUNDLE=FOLDER
# make apk         build/sample.apk: signed with a key that is made here, and verified; ExecuTorch's library is not in it
# make preview     the screens as pictures, from the layouts
BUNDLE ?= ../../build/android
APP := app/src
APK := $(OUT)/apk
D8 := $(LINK)/d8.jar
FRAMEWORK := /usr/share/android-framework-res/framework-res.apk
CATALOGUE := gradle/libs.versions.toml
version = $(shell sed -n 's/^$(1) = "\(.*\)"/\1/p' $(CATALOGUE))

APP_CODE := $(call kotlin,app/src/main)
APP_TESTS := $(call kotlin,app/src/test)
APP_RESOURCES := $(shell find $(APP)/main/res -type f)
STUBS := $(shell find stubs -name '*.java')
APP_PATH := $(OUT)/app-stubs.jar $(APK)/r.jar $(OUT)/executorch.jar $(OUT)/core.jar
APP_TEST_CLASSES := $(subst /,.,$(patsubst $(APP)/test/kotlin/%.kt,%,$(filter %Test.kt,$(APP_TESTS))))

.PHONY: app-check app-test apk preview

app-check: $(OUT)/app.jar
apk: $(OUT)/sample.apk

app-test: $(OUT)/app-test.jar
	java -Xmx1g -Dbundle=$(call quote,$(BUNDLE)) -cp $(call path,$< $(OUT)/app.jar $(APP_PATH) $(STDLIB) $(JUNIT)) \
		org.junit.runner.JUnitCore $(APP_TEST_CLASSES)

preview: $(OUT)/host/draw
	$(call quote,$(PYTHON)) preview/render.py --out $(OUT)/preview

$(OUT)/app-stubs.jar: $(STUBS)
	rm -rf $(OUT)/app-stubs
	javac --release 8 -Xlint:all,-options -Werror -d $(OUT)/app-stubs $(STUBS)
	jar --create --file $@ -C $(OUT)/app-stubs .

# Gradle takes the package and the version of ExecuTorch from its settings; here they are written into the files.
$(APK)/resources.apk $(APK)/r.jar &: $(APP_RESOURCES) $(APP)/main/AndroidManifest.xml $(CATALOGUE)
	rm -rf $(APK)
	mkdir -p $(APK)/values $(APK)/java $(APK)/classes
	printf '<resources><string name="%s">%s</string><string name="runtimes">xnnpack</string></resources>' \
		executorch_version '$(call version,executorch)' \
		> $(APK)/values/gradle.xml
	sed 's|<manifest |&package="org.mobilediffusion.sample" |' $(APP)/main/AndroidManifest.xml > $(APK)/AndroidManifest.xml
	aapt2 compile --dir $(APP)/main/res -o $(APK)/app.zip
	aapt2 compile -o $(APK) $(APK)/values/gradle.xml
	aapt2 link -I $(FRAMEWORK) --manifest $(APK)/AndroidManifest.xml --java $(APK)/java --debug-mode \
		--min-sdk-version $(call version,min-sdk) --target-sdk-version $(call version,target-sdk) \
		--version-code 1 --version-name 0.1.0 -o $(APK)/resources.apk $(APK)/app.zip $(APK)/values_gradle.arsc.flat
	javac --release 8 -Xlint:-options -d $(APK)/classes $$(find $(APK)/java -name R.java)
	jar --create --file $(APK)/r.jar -C $(APK)/classes .

$(OUT)/app.jar: $(APP_CODE) $(APP_PATH)
	$(KOTLINC) -cp $(call path,$(APP_PATH) $(STDLIB)) -d $@ $(APP_CODE)

$(OUT)/app-test.jar: $(APP_TESTS) $(OUT)/app.jar
	$(KOTLINC) -cp $(call path,$(OUT)/app.jar $(APP_PATH) $(STDLIB) $(JUNIT)) -Xfriend-paths=$(OUT)/app.jar \
		-d $@ $(APP_TESTS)

# ExecuTorch's Java classes are in its AAR, which Gradle adds: the dexer only learns their names.
$(OUT)/sample.apk: $(OUT)/app.jar $(APK)/resources.apk $(APK)/r.jar $(OUT)/core.jar $(OUT)/executorch.jar
	rm -rf $(APK)/dex && mkdir -p $(APK)/dex
	java -Xmx2g -cp $(D8) com.android.tools.r8.D8 --debug --min-api $(call version,min-sdk) --output $(APK)/dex \
		--lib $(OUT)/app-stubs.jar --lib $(call quote,$(JAVA_HOME)) --classpath $(OUT)/host/stand-in.jar \
		$(OUT)/app.jar $(APK)/r.jar $(OUT)/core.jar $(OUT)/executorch.jar $(STDLIB) > $(APK)/d8.log 2>&1 \
		|| { tail -20 $(APK)/d8.log >&2; exit 1; }
	cp $(APK)/resources.apk $(APK)/unaligned.apk
	cd $(APK)/dex && jar --update --no-manifest --file ../unaligned.apk *.dex
	zipalign -f -p 4 $(APK)/unaligned.apk $(APK)/aligned.apk
	rm -f $(APK)/key.p12
	keytool -genkeypair -keystore $(APK)/key.p12 -storetype PKCS12 -storepass throw-away -alias sample -keyalg RSA \
		-keysize 2048 -validity 1 -dname CN=sample 2> /dev/null
	apksigner sign --ks $(APK)/key.p12 --ks-pass pass:throw-away --out $@ $(APK)/aligned.apk
	rm -f $(APK)/key.p12
	apksigner verify --min-sdk-version $(call version,min-sdk) $@
